!> The basin: &namusr_def. A closed basin has a ring of land cells inside the global grid, a cyclic one a land row at both ends,
!! a tripolar one a land row in the south, land round the pivots of the fold, and a continent.
module usrdef
   use par_kind, only: wp
   use par_oce, only: Ni0glo, Nj0glo, jpk, jpmaxlay
   use dom_oce, only: l_Iperio, l_NFold, c_NFtype, e3t_0, gred
   use lbcnfd, only: nfd_source
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lc, lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: usr_def_nam, usr_def_wet

   integer, public :: nn_nx = 48                !< wet cells along i
   integer, public :: nn_ny = 48                !< wet cells along j
   real(wp), public :: rn_dx = 40000._wp        !< cell width [m]
   character(len=lc), public :: cn_bnd = 'closed'   !< closed, cyclic_ew, fold_T or fold_F
   logical :: ln_cyclic = .false.               ! the same as cn_bnd = 'cyclic_ew'; a fold is cyclic anyway
   real(wp), public :: rly = 0._wp              !< distance of the northern wall or fold from the southern wall [cells]
   real(wp), public :: rn_f0 = 7.e-5_wp         !< Coriolis parameter at mid-basin [s-1]
   real(wp), public :: rn_beta = 2.e-11_wp      !< its gradient [m-1 s-1]
   integer :: nn_layers = 2
   real(wp) :: rn_H(jpmaxlay) = -1._wp
   real(wp) :: rn_gred(jpmaxlay) = -1._wp
   real(wp), public :: rn_pert = 0._wp          !< amplitude of the initial thickness noise [m]
   integer, public :: nn_seed = 1               !< its seed

contains

   !> Read &namusr_def; size of the global grid, layers.
   subroutine usr_def_nam()
      namelist /namusr_def/ nn_nx, nn_ny, rn_dx, cn_bnd, ln_cyclic, rn_f0, rn_beta, nn_layers, rn_H, rn_gred, rn_pert, nn_seed
      integer :: ios, jk
      character(len=8) :: cl

      rn_H(1:2) = [500._wp, 750._wp]
      rn_gred(1:2) = 0.008_wp
      do while (nam_next('namusr_def'))
         read (cnam, namusr_def, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (nn_nx < 2) call ctl_stop('the basin must be at least 2 cells wide.', nam_where('namusr_def', 'nn_nx'))
      if (nn_ny < 2) call ctl_stop('the basin must be at least 2 cells long.', nam_where('namusr_def', 'nn_ny'))
      if (ln_cyclic .and. cn_bnd == 'closed') cn_bnd = 'cyclic_ew'
      if (all(cn_bnd /= [character(len=9) :: 'closed', 'cyclic_ew', 'fold_T', 'fold_F'])) &
      &  call ctl_stop("there is no boundary '"//trim(cn_bnd)//"'.", nam_where('namusr_def', 'cn_bnd'), &
      &  'Allowed: closed, cyclic_ew, fold_T, fold_F.')
      l_NFold = cn_bnd(1:4) == 'fold'
      l_Iperio = l_NFold .or. cn_bnd == 'cyclic_ew'
      if (l_NFold) then
         c_NFtype = cn_bnd(6:6)
         if (mod(nn_nx, 2) /= 0) call ctl_stop('a grid with a north fold must have an even number of columns: ' // &
         &  'the two pivots lie half a row apart.', nam_where('namusr_def', 'nn_nx'))
         if (nn_nx < 16 .or. nn_ny < 8) call ctl_stop('a basin with a north fold must be at least 16 cells wide and ' // &
         &  '8 cells long: it holds land at both pivots and a continent.', nam_where('namusr_def', 'nn_nx')//', '// &
         &  nam_where('namusr_def', 'nn_ny'))
      end if
      if (.not. rn_dx > 0._wp) call ctl_stop('the cell width must be positive.', nam_where('namusr_def', 'rn_dx'))
      if (nn_layers < 1 .or. nn_layers > jpmaxlay) then
         write (cl, '(i0)') jpmaxlay
         call ctl_stop('the number of layers must lie between 1 and '//trim(cl)//'.', nam_where('namusr_def', 'nn_layers'))
      end if
      do jk = 1, nn_layers
         write (cl, '(i0)') jk
         if (.not. rn_H(jk) > 0._wp) call ctl_stop('layer '//trim(cl)//' needs a positive resting thickness.', &
         &  nam_where('namusr_def', 'rn_H'), 'Give one number per layer, nn_layers of them.')
         if (.not. rn_gred(jk) > 0._wp) &
         &  call ctl_stop('the interface below layer '//trim(cl)//' needs a positive reduced gravity.', &
         &  nam_where('namusr_def', 'rn_gred'), 'Give one number per layer, nn_layers of them.')
      end do

      jpk = nn_layers
      Ni0glo = nn_nx + merge(0, 2, l_Iperio)
      Nj0glo = nn_ny + merge(1, 2, l_NFold)
      rly = real(nn_ny, wp)
      if (c_NFtype == 'T') rly = rly - 0.5_wp   ! the fold cuts the cells of the last row in halves
      allocate (e3t_0(jpk), gred(jpk))
      e3t_0(:) = rn_H(1:jpk)
      gred(:) = rn_gred(1:jpk)
      if (lwp) write (numout, '(3(a,i0),a,f0.1,2a)') ' usr_def_nam: ', nn_nx, ' x ', nn_ny, ' wet cells, ', jpk, &
      &  ' layers, dx = ', rn_dx, ' m, boundary ', trim(cn_bnd)
   end subroutine usr_def_nam

   !> True where the global cell (ki, kj) is ocean; columns of a cyclic grid repeat, rows beyond a fold are mirrored.
   elemental logical function usr_def_wet(ki, kj)
      integer, intent(in) :: ki, kj   !< global column and row, from 1
      integer :: ii, ij
      call nfd_source('T', ki, kj, ii, ij)
      if (l_Iperio) then
         ii = modulo(ii - 1, Ni0glo) + 1
         usr_def_wet = ij > 1 .and. (ij < Nj0glo .or. l_NFold)
      else
         usr_def_wet = ij > 1 .and. ij < Nj0glo .and. ii > 1 .and. ii < Ni0glo
      end if
      if (l_NFold) usr_def_wet = usr_def_wet .and. .not. tripolar_land(ii, ij)
   end function usr_def_wet

   !> Land of the tripolar basin: the cells that touch a pivot and their neighbours, and a continent of 3 x 4 cells one row
   !! south of the fold, in the western half only: a mask that is not mirrored, or mirrored about the other pivot, is wrong.
   elemental logical function tripolar_land(ki, kj)
      integer, intent(in) :: ki, kj   !< column 1..Ni0glo, row at most Nj0glo
      real(wp) :: zhalf, zx, zy
      zhalf = 0.5_wp*real(Ni0glo, wp)                   ! from pivot to pivot
      zx = real(ki, wp) - merge(1._wp, 0.5_wp, c_NFtype == 'T')
      zx = modulo(zx + 0.5_wp*zhalf, zhalf) - 0.5_wp*zhalf
      zy = real(Nj0glo - kj, wp) + merge(0._wp, 0.5_wp, c_NFtype == 'T')
      tripolar_land = (abs(zx) <= 1.5_wp .and. zy <= 1.5_wp) .or. &
      &  (ki >= Ni0glo/4 .and. ki <= Ni0glo/4 + 2 .and. kj >= Nj0glo - 4 .and. kj < Nj0glo)
   end function tripolar_land
end module usrdef
