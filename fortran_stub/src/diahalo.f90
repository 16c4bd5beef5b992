!> A look at the halos: each rank writes fields with their halos as they are, halo_<rank>.nc, to be compared with any other
!! account of what lies beyond a subdomain.
module diahalo
   use netcdf, only: nf90_create, nf90_def_dim, nf90_def_var, nf90_put_att, nf90_enddef, nf90_put_var, nf90_close, &
   &  NF90_CLOBBER, NF90_NETCDF4, NF90_DOUBLE, NF90_GLOBAL
   use par_kind, only: wp
   use par_oce, only: Ni0glo, Nj0glo, Ni_0, Nj_0, Nis0, Nie0, Njs0, Nje0, jpi, jpj, jpk, jp_tem, nn_hls
   use dom_oce, only: mig, mjg, nimpp, njmpp
   use oce, only: uu, vv, e3t, ts
   use usrdef, only: cn_bnd
   use dynvor, only: vor_f
   use lbclnk, only: lbc_lnk
   use iom, only: iom_check, rfill
   use lib_mpp, only: mpprank
   implicit none
   private
   public :: dia_halo

   integer, public :: nn_dia_halo = 0   !< step at whose end to write; 0: none

contains

   !> Write the state with the halos that the step left behind; the vorticity; and labels, for every point as a scalar and as
   !! a vector: a number that no two cells share, so that a value tells where it comes from.
   subroutine dia_halo(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step, now level
      character(len=1), parameter :: cl_pt(4) = ['t', 'u', 'v', 'f']
      real(wp) :: zlab(jpi, jpj, jpk, 4, 2), zvor(jpi, jpj)
      character(len=12) :: clname
      integer :: ji, jj, jk, jp, id, ids(3), ivar(5), ilab(4, 2)

      zlab = rfill                     ! halos must come from lbc_lnk
      do jk = 1, jpk
         do jj = Njs0, Nje0
            do ji = Nis0, Nie0
               zlab(ji, jj, jk, :, :) = real(((jk - 1)*Nj0glo + mjg(jj) - 1)*Ni0glo + mig(ji), wp)
            end do
         end do
      end do
      call lbc_lnk('dia_halo', zlab(:, :, :, 1, 1), 'T', 1._wp, zlab(:, :, :, 2, 1), 'U', 1._wp, &
      &                        zlab(:, :, :, 3, 1), 'V', 1._wp, zlab(:, :, :, 4, 1), 'F', 1._wp)
      call lbc_lnk('dia_halo', zlab(:, :, :, 1, 2), 'T', -1._wp, zlab(:, :, :, 2, 2), 'U', -1._wp, &
      &                        zlab(:, :, :, 3, 2), 'V', -1._wp, zlab(:, :, :, 4, 2), 'F', -1._wp)
      zvor = rfill
      call vor_f(uu(:, :, 1, Kmm), vv(:, :, 1, Kmm), zvor)
      call lbc_lnk('dia_halo', zvor, 'F', 1._wp)

      write (clname, '(a,i4.4,a)') 'halo_', mpprank, '.nc'
      call iom_check(nf90_create(clname, ior(NF90_CLOBBER, NF90_NETCDF4), id), 'create', clname)
      call iom_check(nf90_put_att(id, NF90_GLOBAL, 'first', [nimpp, njmpp]), 'write', clname)      ! of the interior, from 1
      call iom_check(nf90_put_att(id, NF90_GLOBAL, 'size', [Ni_0, Nj_0]), 'write', clname)         ! of the interior
      call iom_check(nf90_put_att(id, NF90_GLOBAL, 'global', [Ni0glo, Nj0glo]), 'write', clname)
      call iom_check(nf90_put_att(id, NF90_GLOBAL, 'halo', nn_hls), 'write', clname)
      call iom_check(nf90_put_att(id, NF90_GLOBAL, 'kt', kt), 'write', clname)
      call iom_check(nf90_put_att(id, NF90_GLOBAL, 'boundary', trim(cn_bnd)), 'write', clname)
      call iom_check(nf90_def_dim(id, 'x', jpi, ids(1)), 'write', clname)
      call iom_check(nf90_def_dim(id, 'y', jpj, ids(2)), 'write', clname)
      call iom_check(nf90_def_dim(id, 'z', jpk, ids(3)), 'write', clname)
      call iom_check(nf90_def_var(id, 'u', NF90_DOUBLE, ids, ivar(1)), 'write', clname)
      call iom_check(nf90_def_var(id, 'v', NF90_DOUBLE, ids, ivar(2)), 'write', clname)
      call iom_check(nf90_def_var(id, 'h', NF90_DOUBLE, ids, ivar(3)), 'write', clname)
      call iom_check(nf90_def_var(id, 't', NF90_DOUBLE, ids(:2), ivar(4)), 'write', clname)
      call iom_check(nf90_def_var(id, 'vor', NF90_DOUBLE, ids(:2), ivar(5)), 'write', clname)
      do jp = 1, 4
         call iom_check(nf90_def_var(id, 'scalar_'//cl_pt(jp), NF90_DOUBLE, ids, ilab(jp, 1)), 'write', clname)
         call iom_check(nf90_def_var(id, 'vector_'//cl_pt(jp), NF90_DOUBLE, ids, ilab(jp, 2)), 'write', clname)
      end do
      call iom_check(nf90_enddef(id), 'write', clname)
      call iom_check(nf90_put_var(id, ivar(1), uu(:, :, :, Kmm)), 'write', clname)
      call iom_check(nf90_put_var(id, ivar(2), vv(:, :, :, Kmm)), 'write', clname)
      call iom_check(nf90_put_var(id, ivar(3), e3t(:, :, :, Kmm)), 'write', clname)
      call iom_check(nf90_put_var(id, ivar(4), ts(:, :, 1, jp_tem, Kmm)), 'write', clname)
      call iom_check(nf90_put_var(id, ivar(5), zvor), 'write', clname)
      do jp = 1, 4
         call iom_check(nf90_put_var(id, ilab(jp, 1), zlab(:, :, :, jp, 1)), 'write', clname)
         call iom_check(nf90_put_var(id, ilab(jp, 2), zlab(:, :, :, jp, 2)), 'write', clname)
      end do
      call iom_check(nf90_close(id), 'close', clname)
   end subroutine dia_halo
end module diahalo
