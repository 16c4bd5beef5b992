!> The background: the state at the end of a step, as a file in NEMO's form.
module asmbkg
   use netcdf, only: nf90_def_var, nf90_put_att, nf90_put_var, NF90_GLOBAL, NF90_DOUBLE
   use par_kind, only: wp, dp
   use par_oce, only: jpi, jpj, jp_tem
   use dom_oce, only: rn_Dt, tmask, umask, vmask
   use oce, only: uu, vv, e3t, ts
   use asmpar, only: asm_bkg_name
   use daymod, only: rdate_of, nsec_of
   use diawri, only: dia_ssh
   use iom, only: t_iom, iom_create, iom_def, iom_att, iom_enddef, iom_rec, iom_put, iom_put2d, iom_close, iom_rename, iom_check
   use lib_mpp, only: mpprank
   use in_out_manager, only: lc, lwp, numout
   implicit none
   private
   public :: asm_bkg

contains

   !> Write the state at the end of step kt: under another name first, so that a file with the right name is whole. 0 on land.
   subroutine asm_bkg(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step that has ended, and the now level after it
      type(t_iom) :: file
      character(len=lc) :: clname
      real(wp) :: zssh(jpi, jpj)
      integer :: idate

      clname = asm_bkg_name(kt)
      call iom_create(file, trim(clname)//'.tmp', 'background state', .true., .false., .true.)
      call iom_def(file, 'un', 'U', .true., 'sea_water_x_velocity', 'velocity along i', 'm s-1', ' ')
      call iom_def(file, 'vn', 'V', .true., 'sea_water_y_velocity', 'velocity along j', 'm s-1', ' ')
      call iom_def(file, 'e3t_n', 'T', .true., 'cell_thickness', 'layer thickness', 'm', ' ')
      call iom_def(file, 'tn', 'T', .false., 'sea_surface_temperature', 'temperature of layer 1', 'degC', ' ')
      call iom_def(file, 'sshn', 'T', .false., ' ', 'surface height: sum over k of g(k) (h(1)+...+h(k)) / 9.81', 'm', ' ')
      if (mpprank == 0) then
         call iom_check(nf90_def_var(file%ncid, 'rdastp', NF90_DOUBLE, idate), 'define rdastp in', file%path)
         call iom_check(nf90_put_att(file%ncid, NF90_GLOBAL, 'kt', real(kt, dp)), 'write', file%path)
         call iom_check(nf90_put_att(file%ncid, NF90_GLOBAL, 'rdt', real(rn_Dt, dp)), 'write', file%path)
      end if
      if (mpprank == 0) call iom_att(file, idate, 'long_name', 'date of the state, YYYYMMDD.HHMMSS')
      call iom_enddef(file)
      if (mpprank == 0) call iom_check(nf90_put_var(file%ncid, idate, rdate_of(kt)), 'write rdastp to', file%path)
      call iom_rec(file, real(nsec_of(kt), dp))
      call iom_put(file, 'un', uu(:, :, :, Kmm)*umask)
      call iom_put(file, 'vn', vv(:, :, :, Kmm)*vmask)
      call iom_put(file, 'e3t_n', e3t(:, :, :, Kmm)*tmask)
      call iom_put2d(file, 'tn', ts(:, :, 1, jp_tem, Kmm)*tmask(:, :, 1))
      call dia_ssh(e3t(:, :, :, Kmm), zssh)
      call iom_put2d(file, 'sshn', zssh*tmask(:, :, 1))
      call iom_close(file, .true.)
      call iom_rename(trim(clname)//'.tmp', clname)
      if (lwp) write (numout, '(2a)') ' asm_bkg: ', trim(clname)
      if (lwp) flush (numout)
   end subroutine asm_bkg
end module asmbkg
